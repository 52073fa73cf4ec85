//! The networks containers are in: one of the gateway's own for those that may reach what this machine reaches, and one for
//! each container whose hosts are named, with the way out in the gateway itself.
//!
//! On none of them can one container reach another. A network is made before its container and removed after it, by the
//! task that owns the container; what a dead gateway left is the sweep's.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, Ipam, IpamConfig, NetworkCreateRequest,
};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};
use tokio::sync::Mutex;
use tokio::time::sleep;
use wasmgate_core::catalog::{AllowedHosts, Network};
use wasmgate_core::name::ServerName;

use self::subnet::Subnet;
use super::engine::{Engine, is_status};
use super::run::REMOVALS;
use crate::egress::{Egress, Proxy, Way};
use crate::launch::LaunchError;
use crate::launch::identity::{BOOT, Identity, MARK, Ownership, SERVER, started};
use crate::shutdown::Tasks;

mod subnet; // addresses nobody has

/// Makes networks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Networks {
    engine: Engine,
    identity: Arc<Identity>,
    egress: Egress,
    tasks: Tasks,
    /// Held while the network of all open containers is looked for and made.
    making: Arc<Mutex<()>>,
}

/// Where a container is put; to be released when the container is gone.
pub(super) enum Place {
    /// As its settings say: no network, or the machine's own.
    AsSaid,
    /// In the gateway's network, by name.
    Open(String),
    /// In a network of its own.
    Confined {
        /// The network's id.
        id: String,
        proxy: Proxy,
    },
}

impl Networks {
    pub(super) fn new(engine: Engine, identity: Arc<Identity>, egress: Egress, tasks: Tasks) -> Self {
        Self { engine, identity, egress, tasks, making: Arc::default() }
    }

    /// Makes the place a container of `server` is to be in.
    ///
    /// # Errors
    /// When the engine makes no network, or makes it where this process is not.
    pub(super) async fn place(
        &self,
        docker: &Docker,
        server: &ServerName,
        network: &Network,
    ) -> Result<Place, LaunchError> {
        match network {
            Network::None | Network::Host => Ok(Place::AsSaid),
            Network::Default => self.open(docker).await.map(Place::Open),
            Network::Hosts(allowed) => self.confined(docker, server, allowed).await,
        }
    }

    /// Removes the networks of gateways that are certainly dead.
    pub(super) async fn sweep(&self, docker: &Docker) {
        let orphan = |labels: &HashMap<String, String>| {
            // Nothing runs in a network by itself, and the engine keeps one that is in use.
            self.identity.judge(labels, false, started) == Ownership::Orphan
        };
        remove_those(docker, format!("{MARK}=true"), orphan).await;
    }

    /// Removes the networks of this run of the gateway, whose containers are gone.
    pub(super) async fn remove_own(&self, docker: &Docker) {
        remove_those(docker, format!("{BOOT}={}", self.identity.boot()), |_| true).await;
    }

    /// The gateway's network, made when it is not there: somebody may have tidied up.
    async fn open(&self, docker: &Docker) -> Result<String, LaunchError> {
        let name = format!("wasmgate-{}", self.identity.boot());
        let _making = self.making.lock().await;
        match docker.inspect_network(&name, None::<InspectNetworkOptions>).await {
            Ok(_) => return Ok(name),
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(self.engine.failed("look for its network", error)),
        }
        let made = self.make(docker, OPEN_BITS, |subnet| request(&name, subnet, Door::Open)).await?;
        tracing::debug!(network = name, subnet = %made.subnet, "network made");
        Ok(name)
    }

    async fn confined(
        &self,
        docker: &Docker,
        server: &ServerName,
        allowed: &AllowedHosts,
    ) -> Result<Place, LaunchError> {
        let mut random = [0; 8];
        // A name that is taken makes the engine refuse, nothing worse.
        let _ = getrandom::fill(&mut random);
        let name = format!("wasmgate-{server}-{:016x}", u64::from_be_bytes(random));
        let made = self.make(docker, CONFINED_BITS, |subnet| {
            let mut request = request(&name, subnet, Door::Closed);
            let labels = request.labels.get_or_insert_default();
            labels.insert(SERVER.to_owned(), server.to_string());
            request
        });
        let Made { id, subnet } = made.await?;
        let way = Way {
            server: server.clone(),
            allowed: allowed.clone(),
            listen: subnet.host(),
            bits: CONFINED_BITS,
        };
        match Proxy::start(way, self.egress.clone(), &self.tasks).await {
            Ok(proxy) => Ok(Place::Confined { id, proxy }),
            Err(cause) => {
                remove(docker, &id).await;
                Err(LaunchError::NoWayOut { cause })
            }
        }
    }

    /// Makes a network on addresses that neither the machine nor the engine uses.
    async fn make(
        &self,
        docker: &Docker,
        bits: u32,
        request: impl Fn(Subnet) -> NetworkCreateRequest,
    ) -> Result<Made, LaunchError> {
        let mut failure = None;
        for subnet in Subnet::free(bits, &routes()).take(TRIES) {
            let mut wanted = request(subnet);
            wanted.labels.get_or_insert_default().extend(self.identity.labels());
            match docker.create_network(wanted).await {
                Ok(made) => return Ok(Made { id: made.id, subnet }),
                // Another network has some of these addresses, or the interface's name.
                Err(error @ Error::DockerResponseServerError { .. }) => failure = Some(error),
                Err(error) => return Err(self.engine.failed("make its network", error)),
            }
        }
        let none = || LaunchError::Engine {
            doing: "make its network",
            said: "all private addresses are in use on this machine".to_owned(),
        };
        Err(failure.map_or_else(none, |error| self.engine.failed("make its network", error)))
    }
}

/// A network that exists.
struct Made {
    id: String,
    subnet: Subnet,
}

impl Place {
    /// Puts a container that is about to be created there.
    pub(super) fn settle(&self, body: &mut ContainerCreateBody) {
        let host = body.host_config.get_or_insert_default();
        match self {
            Self::AsSaid => {}
            Self::Open(name) => host.network_mode = Some(name.clone()),
            Self::Confined { id, proxy } => {
                host.network_mode = Some(id.clone());
                host.dns = Some(vec![NO_RESOLVER.to_owned()]);
                host.dns_search = Some(vec![".".to_owned()]);
                body.env.get_or_insert_default().extend(variables(proxy.address()));
            }
        }
    }

    /// The address of a container in a network of its own, where nothing is published.
    pub(super) fn address(&self, container: &ContainerInspectResponse, port: u16) -> Option<SocketAddr> {
        let Self::Confined { id, .. } = self else { return None };
        let networks = container.network_settings.as_ref()?.networks.as_ref()?;
        let own = networks.values().find(|network| network.network_id.as_ref() == Some(id))?;
        let address: IpAddr = own.ip_address.as_ref()?.parse().ok()?;
        Some(SocketAddr::new(address, port))
    }

    /// Removes what was made for one container, which is gone.
    pub(super) async fn release(self, docker: &Docker) {
        if let Self::Confined { id, proxy } = self {
            drop(proxy);
            remove(docker, &id).await;
        }
    }
}

/// How clients in the container learn of the proxy. Node obeys with the last one only.
fn variables(proxy: SocketAddr) -> impl Iterator<Item = String> {
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
    let proxies = proxies.into_iter().map(move |name| format!("{name}=http://{proxy}"));
    let nowhere = ["NO_PROXY", "no_proxy"].into_iter().map(|name| format!("{name}=localhost,127.0.0.1,::1"));
    proxies.chain(nowhere).chain(["NODE_USE_ENV_PROXY=1".to_owned()])
}

/// Whether a network leads out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Closed,
}

fn request(name: &str, subnet: Subnet, door: Door) -> NetworkCreateRequest {
    let closed = door == Door::Closed;
    // Names an operator's firewall can match: `wgo+` and `wgx+`.
    let interface = format!("{}{:08x}", if closed { "wgx" } else { "wgo" }, u32::from(subnet.host()));
    let options = [
        ("com.docker.network.bridge.enable_icc", "false".to_owned()),
        ("com.docker.network.bridge.name", interface),
    ];
    // Old engines give containers a route to the host's other addresses even here; at this one nobody is.
    let nobody = || HashMap::from([("DefaultGatewayIPv4".to_owned(), subnet.nobody().to_string())]);
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        internal: Some(closed),
        enable_ipv6: Some(false),
        options: Some(options.map(|(key, value)| (key.to_owned(), value)).into()),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                gateway: Some(subnet.host().to_string()),
                auxiliary_addresses: closed.then(nobody),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        ..NetworkCreateRequest::default()
    }
}

/// Removes a network; its last container may still be on its way out.
pub(super) async fn remove(docker: &Docker, id: &str) {
    for pause in REMOVALS {
        sleep(pause).await;
        match docker.remove_network(id).await {
            Ok(()) => return,
            Err(error) if is_status(&error, 404) => return,
            Err(error) => tracing::debug!(network = id, %error, "network not removed yet"),
        }
    }
    tracing::warn!(network = id, "network could not be removed; the next start removes it");
}

async fn remove_those(docker: &Docker, label: String, which: impl Fn(&HashMap<String, String>) -> bool) {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    // The engine has just been asked for containers: if it is gone now, the next start is told so.
    for network in docker.list_networks(Some(options)).await.unwrap_or_default() {
        if let Some(id) = network.id.filter(|_| which(&network.labels.unwrap_or_default())) {
            remove(docker, &id).await;
        }
    }
}

/// The addresses this machine has a use for: network and number of bits (route(8), /proc/net/route). The default route is
/// none of them.
fn routes() -> Vec<(Ipv4Addr, u32)> {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let number = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::swap_bytes);
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (net, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
        Some((Ipv4Addr::from(net), mask.leading_ones()))
    };
    table.lines().skip(1).filter_map(route).filter(|(_, bits)| *bits > 0).collect()
}

/// A resolver that does not exist (RFC 5737): names are the proxy's to resolve.
const NO_RESOLVER: &str = "192.0.2.53";
/// The size of the network of all open containers of a gateway: a thousand of them.
const OPEN_BITS: u32 = 22;
/// The size of a network for one container: the host, the container, and nobody.
const CONFINED_BITS: u32 = 29;
/// How many places for a network are tried.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_network_for_one_container_leads_nowhere() {
        let subnet = Subnet::of(Ipv4Addr::new(10, 1, 2, 8), CONFINED_BITS);
        let text = |door| {
            let mut value = serde_json::to_value(request("wasmgate-s-1", subnet, door)).unwrap();
            value.sort_all_objects();
            serde_json::to_string_pretty(&value).unwrap()
        };
        expect![[r#"
            {
              "Driver": "bridge",
              "EnableIPv6": false,
              "IPAM": {
                "Config": [
                  {
                    "AuxiliaryAddresses": {
                      "DefaultGatewayIPv4": "10.1.2.14"
                    },
                    "Gateway": "10.1.2.9",
                    "Subnet": "10.1.2.8/29"
                  }
                ]
              },
              "Internal": true,
              "Name": "wasmgate-s-1",
              "Options": {
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.name": "wgx0a010209"
              }
            }"#]]
        .assert_eq(&text(Door::Closed));
        expect![[r#"
            {
              "Driver": "bridge",
              "EnableIPv6": false,
              "IPAM": {
                "Config": [
                  {
                    "Gateway": "10.1.2.9",
                    "Subnet": "10.1.2.8/29"
                  }
                ]
              },
              "Internal": false,
              "Name": "wasmgate-s-1",
              "Options": {
                "com.docker.network.bridge.enable_icc": "false",
                "com.docker.network.bridge.name": "wgo0a010209"
              }
            }"#]]
        .assert_eq(&text(Door::Open));
    }

    #[test]
    fn clients_are_told_of_the_proxy_in_every_way_they_know() {
        let told: Vec<String> = variables(SocketAddr::from(([10, 1, 2, 9], 3128))).collect();
        expect![[r#"
            HTTP_PROXY=http://10.1.2.9:3128
            HTTPS_PROXY=http://10.1.2.9:3128
            http_proxy=http://10.1.2.9:3128
            https_proxy=http://10.1.2.9:3128
            NO_PROXY=localhost,127.0.0.1,::1
            no_proxy=localhost,127.0.0.1,::1
            NODE_USE_ENV_PROXY=1"#]]
        .assert_eq(&told.join("\n"));
    }
}
