
muster.placement.v1.Claim.vm_id muster.placement.v1.Claim.job_idø1 äÏßÃÈ³³9(ÖÌê‘ûÖÓ0£éÙèãT