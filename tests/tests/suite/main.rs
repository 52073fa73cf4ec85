//! tmp
use wasmgate_tests::*;
#[tokio::test(flavor="multi_thread")]
async fn images() { 
  println!("{:?}", docker::scratch().await); println!("{:?}", docker::everything().await);
}
