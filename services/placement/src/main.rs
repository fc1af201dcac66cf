//! The placement service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<placement::Config, _>(placement::run)
}
