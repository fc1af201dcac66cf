//! The refresher as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<refresher::Config, _>(refresher::run)
}
