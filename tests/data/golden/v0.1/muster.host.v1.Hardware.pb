Š‰1ëÅîœ †lµ
#muster.host.v1.Hardware.disks[0].id&muster.host.v1.Hardware.disks[0].image ¿èµ­ı‚ö´‰*%muster.host.v1.Hardware.disks[0].path2'muster.host.v1.Hardware.disks[0].format8“°İƒÖ³Ûşª³
#muster.host.v1.Hardware.disks[1].id&muster.host.v1.Hardware.disks[1].image ”ÈÚÏÜßÛT*%muster.host.v1.Hardware.disks[1].path2'muster.host.v1.Hardware.disks[1].format8¶Åÿˆçœ²­"
+muster.host.v1.Hardware.network_cards[0].id,muster.host.v1.Hardware.network_cards[0].mac0muster.host.v1.Hardware.network_cards[0].network"
+muster.host.v1.Hardware.network_cards[1].id,muster.host.v1.Hardware.network_cards[1].mac0muster.host.v1.Hardware.network_cards[1].network