
muster.host.v1.Disk.idmuster.host.v1.Disk.image Éà¬’¾¨*muster.host.v1.Disk.path2muster.host.v1.Disk.format8äÉëôŞĞô1