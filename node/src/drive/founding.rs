//! How a master gets its cluster: it has one, joins one that it sees, or helps to found one.

use shoal_api::ClusterId;
use shoal_disk::DataDirectory;
use shoal_quorum::Recovered;

use crate::cli::{Exit, Failure};
use crate::config::NodeConfig;
use crate::gossip::Gossip;
use crate::peer::Identity;
use crate::{entropy, tags};

/// A cluster to be a master of.
#[derive(Debug)]
pub struct Found {
    /// Which.
    pub cluster: ClusterId,
    /// What a founder's empty log begins with.
    pub founding: Option<Recovered>,
}

/// Waits until this node has a cluster to join or to found.
///
/// # Errors
/// The data directory belongs to another, or the disk refuses.
pub async fn found(
    config: &NodeConfig,
    me: &Identity,
    data: &DataDirectory,
    gossip: &Gossip,
) -> Result<Found, Failure> {
    if let Some(cluster) = data.identity().cluster {
        return Ok(Found {
            cluster,
            founding: None,
        });
    }
    let mut members = gossip.watch_members();
    loop {
        let seen = {
            let members = members.borrow_and_update();
            let others = members.iter().filter(|member| member.id != me.node);
            others.filter_map(tags::cluster).next()
        };
        if let Some(cluster) = seen {
            tracing::info!(%cluster, "joining the cluster as a master");
            return Ok(Found {
                cluster,
                founding: None,
            });
        }
        if config.bootstrap_expect == Some(1) {
            let cluster = ClusterId(entropy::bits());
            tracing::info!(%cluster, "founding a cluster of one master");
            let raft = me.raft.expect("a master has a voter id");
            return Ok(Found {
                cluster,
                founding: Some(shoal_quorum::found(&[raft])),
            });
        }
        if members.changed().await.is_err() {
            return Err(Failure::new(Exit::Failed, "the gossip ended", ""));
        }
    }
}

/// Makes the data directory the cluster's. A founder's log comes first: a folder that belongs to a
/// cluster and has no log would wait for ever to be taken in.
///
/// # Errors
/// The directory belongs to another cluster, or the disk refuses.
pub fn belong(data: &mut DataDirectory, cluster: ClusterId) -> Result<(), Failure> {
    let result = data.belong_to(cluster);
    result.map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))
}
