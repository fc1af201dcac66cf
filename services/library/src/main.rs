//! The library service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<library::Config, _>(library::run)
}
