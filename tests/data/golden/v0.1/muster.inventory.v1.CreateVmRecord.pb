
(muster.inventory.v1.CreateVmRecord.vm_id'muster.inventory.v1.CreateVmRecord.name(muster.inventory.v1.CreateVmRecord.owner".muster.inventory.v1.CreateVmRecord.description*b
.muster.inventory.v1.CreateVmRecord.tags[0].key0muster.inventory.v1.CreateVmRecord.tags[0].value*b
.muster.inventory.v1.CreateVmRecord.tags[1].key0muster.inventory.v1.CreateVmRecord.tags[1].value2´üÃ6¹Û¢Çïê„›„
7muster.inventory.v1.CreateVmRecord.hardware.disks[0].id:muster.inventory.v1.CreateVmRecord.hardware.disks[0].image åŠñ€íŸÉ¹®*9muster.inventory.v1.CreateVmRecord.hardware.disks[0].path2;muster.inventory.v1.CreateVmRecord.hardware.disks[0].format8½…äáÁ®—’z„
7muster.inventory.v1.CreateVmRecord.hardware.disks[1].id:muster.inventory.v1.CreateVmRecord.hardware.disks[1].image ê‡å¹¼öˆ‚ä*9muster.inventory.v1.CreateVmRecord.hardware.disks[1].path2;muster.inventory.v1.CreateVmRecord.hardware.disks[1].format8àÀ×ÜîíÉ„<"É
?muster.inventory.v1.CreateVmRecord.hardware.network_cards[0].id@muster.inventory.v1.CreateVmRecord.hardware.network_cards[0].macDmuster.inventory.v1.CreateVmRecord.hardware.network_cards[0].network"É
?muster.inventory.v1.CreateVmRecord.hardware.network_cards[1].id@muster.inventory.v1.CreateVmRecord.hardware.network_cards[1].macDmuster.inventory.v1.CreateVmRecord.hardware.network_cards[1].network:)muster.inventory.v1.CreateVmRecord.job_id