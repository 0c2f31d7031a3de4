//! SIGKILL of any one process in the middle of traffic: what was acknowledged is stored, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use uuid::Uuid;

use crate::stack::{Stack, event};

#[tokio::test]
async fn killing_the_engine_loses_nothing() -> anyhow::Result<()> {
    survives("clickhouse").await
}

#[tokio::test]
async fn killing_firehose_loses_nothing() -> anyhow::Result<()> {
    survives("firehose").await
}

#[tokio::test]
async fn killing_the_loader_loses_nothing() -> anyhow::Result<()> {
    survives("loader").await
}

#[tokio::test]
async fn killing_the_events_function_loses_nothing() -> anyhow::Result<()> {
    survives("events").await
}

async fn survives(victim: &str) -> anyhow::Result<()> {
    let stack = Arc::new(Stack::up_plain().await?);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(traffic(Arc::clone(&stack), Arc::clone(&stop))))
        .collect();

    for _ in 0..2 {
        // Traffic on both sides of the kill: what is asserted does not depend on how much.
        tokio::time::sleep(Duration::from_millis(700)).await;
        stack.kill(victim).await?;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await?);
    }
    ensure!(!acknowledged.is_empty(), "no traffic got through");

    let rows = stack.arrived(&acknowledged).await?;
    ensure!(
        rows == acknowledged.len() as u64,
        "{} acknowledged, {rows} rows",
        acknowledged.len()
    );
    let Ok(stack) = Arc::try_unwrap(stack) else {
        anyhow::bail!("the stack is still in use")
    };
    stack.down().await
}

/// Posts events until told to stop; gives the ids of those that were acknowledged.
async fn traffic(stack: Arc<Stack>, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let id = Uuid::new_v4();
        match stack.post(event(id, 7, "2024-05-17T10:20:30Z").to_string()).await {
            Ok(answer) if answer.status().is_success() => acknowledged.push(id),
            // Refused, or the function is just being killed: not acknowledged, so nothing is promised.
            Ok(_) | Err(_) => tokio::task::yield_now().await,
        }
    }
    acknowledged
}
