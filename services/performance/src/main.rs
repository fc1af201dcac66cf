//! The performance service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<performance::Config, _>(performance::run)
}
