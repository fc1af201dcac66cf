//! The gateway as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main(gateway::run)
}
