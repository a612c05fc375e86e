//! Makes the linker omit the unwind tables from the image's static binary; see `no-unwind-tables.ld`.

use std::env;

fn main() {
    let script = "no-unwind-tables.ld";
    println!("cargo::rerun-if-changed={script}");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/{script}");
    }
}
