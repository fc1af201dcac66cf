//! The transfer service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<transfer::Config, _>(transfer::run)
}
