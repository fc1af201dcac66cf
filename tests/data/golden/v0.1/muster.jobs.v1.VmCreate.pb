
muster.jobs.v1.VmCreate.namešç› ÂÖ”ª®Î÷£ø×
,muster.jobs.v1.VmCreate.hardware.disks[0].id/muster.jobs.v1.VmCreate.hardware.disks[0].image ´–ùğ¢ï½ÓC*.muster.jobs.v1.VmCreate.hardware.disks[0].path20muster.jobs.v1.VmCreate.hardware.disks[0].format8Ö§“É¦„¦LØ
,muster.jobs.v1.VmCreate.hardware.disks[1].id/muster.jobs.v1.VmCreate.hardware.disks[1].image ßšïÚ‡•‘Î'*.muster.jobs.v1.VmCreate.hardware.disks[1].path20muster.jobs.v1.VmCreate.hardware.disks[1].format8³ÔîÁëùŠ"¨
4muster.jobs.v1.VmCreate.hardware.network_cards[0].id5muster.jobs.v1.VmCreate.hardware.network_cards[0].mac9muster.jobs.v1.VmCreate.hardware.network_cards[0].network"¨
4muster.jobs.v1.VmCreate.hardware.network_cards[1].id5muster.jobs.v1.VmCreate.hardware.network_cards[1].mac9muster.jobs.v1.VmCreate.hardware.network_cards[1].networkmuster.jobs.v1.VmCreate.owner"#muster.jobs.v1.VmCreate.description*L
#muster.jobs.v1.VmCreate.tags[0].key%muster.jobs.v1.VmCreate.tags[0].value*L
#muster.jobs.v1.VmCreate.tags[1].key%muster.jobs.v1.VmCreate.tags[1].value2 muster.jobs.v1.VmCreate.group_id:muster.jobs.v1.VmCreate.host_id@HR!muster.jobs.v1.VmCreate.datastore