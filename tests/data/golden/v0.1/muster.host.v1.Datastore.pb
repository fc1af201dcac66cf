
muster.host.v1.Datastore.namemuster.host.v1.Datastore.path“ï”¨È»º”Ö ±íÖ¾ãÇæí³*3
'muster.host.v1.Datastore.images[0].nameÃÀŒøìÚş·g*4
'muster.host.v1.Datastore.images[1].name°¹Ú¿³Ğğ2 muster.host.v1.Datastore.problem