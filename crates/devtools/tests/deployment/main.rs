//! The files in deploy/, read by the programs that they are for: the chart by helm and against the schemas of Kubernetes,
//! the stacks by docker.

mod chart;
mod stack;
