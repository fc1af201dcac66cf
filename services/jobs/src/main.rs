//! The jobs service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main(jobs::run)
}
