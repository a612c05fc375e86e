//! Rolling updates on a real swarm: the second engine's, never the developer's.
//!
//! [`second_engine`] runs the checks in that engine. [`cluster`] deploys the stack of the repository with a proxy in front of the replicas, [`images`] builds the versions of
//! the image, [`load`] sends requests by [`http`], [`watch`] collects the engine's events, and [`timeline`] makes a picture's
//! data of both.

pub(crate) mod cluster;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod load;
pub(crate) mod second_engine;
pub(crate) mod timeline;
pub(crate) mod watch;
