//! What this machine gives MLX, whether a model goes into it, and what to write in code: the program `mlx-wired-doctor`,
//! from a checkout.
//!
//! ```sh
//! cargo run --example doctor -- path/to/model --context 8192 --batch 4
//! ```

#[path = "../src/bin/mlx-wired-doctor/main.rs"]
mod doctor;

fn main() -> std::process::ExitCode {
    doctor::main()
}
