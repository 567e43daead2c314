//! Writes mlx-sys's `bindings.rs` as its own build script would on a Mac:
//! `mlx-bindgen MLX_C_ROOT OUT_FILE [CLANG_ARG...]`.

use std::path::Path;

// mlx-sys's own configuration, from the very sources that are built, so that the bindings
// cannot drift from what the crate expects. The script that builds this sets the variable.
#[allow(dead_code)]
mod bindgen_config {
    include!(concat!(env!("MLX_SYS_ROOT"), "/src/bindgen_config.rs"));
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(mlx_c), Some(out)) = (args.next(), args.next()) else {
        eprintln!("usage: mlx-bindgen MLX_C_ROOT OUT_FILE [CLANG_ARG...]");
        std::process::exit(2);
    };
    let mlx_c = Path::new(&mlx_c);
    let headers = bindgen_config::discover_headers(mlx_c).expect("cannot list mlx-c's headers");
    bindgen_config::builder(mlx_c, &headers)
        .clang_args(args)
        .generate()
        .expect("cannot generate the bindings")
        .write_to_file(out)
        .expect("cannot write the bindings");
}
