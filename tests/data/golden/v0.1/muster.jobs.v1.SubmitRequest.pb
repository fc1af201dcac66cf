
—
”
2muster.jobs.v1.SubmitRequest.params.vm_create.nameÍ¥Ã¬ÿÇç›¨Ç±/¯
Bmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[0].idEmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[0].image Ş£Ó’€Ë*Dmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[0].path2Fmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[0].format8¤ô±Û“øó|°
Bmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[1].idEmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[1].image ©âÆÊûÕşC*Dmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[1].path2Fmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.disks[1].format8ÑÂïà¥ĞêúÊ"ê
Jmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[0].idKmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[0].macOmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[0].network"ê
Jmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[1].idKmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[1].macOmuster.jobs.v1.SubmitRequest.params.vm_create.hardware.network_cards[1].network3muster.jobs.v1.SubmitRequest.params.vm_create.owner"9muster.jobs.v1.SubmitRequest.params.vm_create.description*x
9muster.jobs.v1.SubmitRequest.params.vm_create.tags[0].key;muster.jobs.v1.SubmitRequest.params.vm_create.tags[0].value*x
9muster.jobs.v1.SubmitRequest.params.vm_create.tags[1].key;muster.jobs.v1.SubmitRequest.params.vm_create.tags[1].value26muster.jobs.v1.SubmitRequest.params.vm_create.group_id:5muster.jobs.v1.SubmitRequest.params.vm_create.host_id@HR7muster.jobs.v1.SubmitRequest.params.vm_create.datastore