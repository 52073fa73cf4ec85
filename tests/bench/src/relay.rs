//! The floor under any gateway that is a process of its own: copies bytes between sockets and reads nothing.

use tokio::net::{TcpListener, TcpStream};

use super::Anyhow;
use super::process::announce;

/// Relays to `127.0.0.1:<to>` until killed; prints its port.
pub(crate) async fn serve(to: &str) -> Anyhow<()> {
    let to: u16 = to.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port());
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (mut near, _) = listener.accept().await?;
                near.set_nodelay(true)?;
                tokio::task::spawn_local(async move {
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await {
                        let _ = far.set_nodelay(true);
                        let _closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        })
        .await
}
