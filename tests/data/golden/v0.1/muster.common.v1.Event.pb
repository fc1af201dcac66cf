
muster.common.v1.Event.kindmuster.common.v1.Event.idmuster.common.v1.Event.verb"muster.common.v1.Event.group_id(ë„›şÇÕ%0üçŠÈp: muster.common.v1.Event.principalBmuster.common.v1.Event.job_idJmuster.common.v1.Event.nameR.O·ÚªX¨Z#"â\aÆg·b
*muster.common.v1.Event.changes[0].property*muster.common.v1.Event.changes[0].previous%muster.common.v1.Event.changes[0].newb
*muster.common.v1.Event.changes[1].property*muster.common.v1.Event.changes[1].previous%muster.common.v1.Event.changes[1].new