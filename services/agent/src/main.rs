//! The agent as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<agent::Config, _>(agent::run)
}
