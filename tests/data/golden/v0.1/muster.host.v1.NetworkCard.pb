
muster.host.v1.NetworkCard.idmuster.host.v1.NetworkCard.mac"muster.host.v1.NetworkCard.network