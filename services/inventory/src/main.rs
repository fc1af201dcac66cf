//! The inventory service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<inventory::Config, _>(inventory::run)
}
