
‚
.muster.placement.v1.HostClaims.claims[0].vm_id/muster.placement.v1.HostClaims.claims[0].job_id×Æ ’ßŞì…¹˜ã«(ÌÆØ–©œ¨0Í¸ö†­

.muster.placement.v1.HostClaims.claims[1].vm_id/muster.placement.v1.HostClaims.claims[1].job_idĞë ÍÆƒ½Æ†‚ö_(ÃÈå«¯ßû½Œ0¸ƒÚŠ‹»÷–÷ø¦şàn