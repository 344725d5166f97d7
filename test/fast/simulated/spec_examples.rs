//! Tests every JSON example and every error of the contract against a cluster of real nodes in simulated
//! time. The transcripts in `spec_examples/` are written for people; `script` explains them.

mod exchange;
mod script;

#[tokio::test(start_paused = true)]
async fn every_example_of_the_contract_is_answered_as_it_stands_there() {
    script::play(include_str!("spec_examples/examples.txt")).await;
}

#[tokio::test(start_paused = true)]
async fn every_mistake_of_a_client_is_named() {
    script::play(include_str!("spec_examples/mistakes.txt")).await;
}

#[tokio::test(start_paused = true)]
async fn every_trouble_of_the_cluster_is_named() {
    script::play(include_str!("spec_examples/troubles.txt")).await;
}
