//! Tells the linker what the image's static binary can do without; see `no-unwind-tables.ld`.

use std::env;

fn main() {
    let script = "no-unwind-tables.ld";
    println!("cargo::rerun-if-changed={script}");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/{script}");
    }
}
