//! The webhooks service as a program of its own.

fn main() -> anyhow::Result<()> {
    kit::service::main::<webhooks::Config, _>(webhooks::run)
}
