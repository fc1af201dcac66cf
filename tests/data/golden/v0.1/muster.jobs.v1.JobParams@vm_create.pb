

'muster.jobs.v1.JobParams.vm_create.name´›¤(–§ÿè¾ìr„
7muster.jobs.v1.JobParams.vm_create.hardware.disks[0].id:muster.jobs.v1.JobParams.vm_create.hardware.disks[0].image óçü¹¯êÿŒ*9muster.jobs.v1.JobParams.vm_create.hardware.disks[0].path2;muster.jobs.v1.JobParams.vm_create.hardware.disks[0].format8‚Ö¾¡Ú°°ñC„
7muster.jobs.v1.JobParams.vm_create.hardware.disks[1].id:muster.jobs.v1.JobParams.vm_create.hardware.disks[1].image ÛÆşãò‹‰šî*9muster.jobs.v1.JobParams.vm_create.hardware.disks[1].path2;muster.jobs.v1.JobParams.vm_create.hardware.disks[1].format8ÿ¦¹†šŞéV"É
?muster.jobs.v1.JobParams.vm_create.hardware.network_cards[0].id@muster.jobs.v1.JobParams.vm_create.hardware.network_cards[0].macDmuster.jobs.v1.JobParams.vm_create.hardware.network_cards[0].network"É
?muster.jobs.v1.JobParams.vm_create.hardware.network_cards[1].id@muster.jobs.v1.JobParams.vm_create.hardware.network_cards[1].macDmuster.jobs.v1.JobParams.vm_create.hardware.network_cards[1].network(muster.jobs.v1.JobParams.vm_create.owner".muster.jobs.v1.JobParams.vm_create.description*b
.muster.jobs.v1.JobParams.vm_create.tags[0].key0muster.jobs.v1.JobParams.vm_create.tags[0].value*b
.muster.jobs.v1.JobParams.vm_create.tags[1].key0muster.jobs.v1.JobParams.vm_create.tags[1].value2+muster.jobs.v1.JobParams.vm_create.group_id:*muster.jobs.v1.JobParams.vm_create.host_id@HR,muster.jobs.v1.JobParams.vm_create.datastore