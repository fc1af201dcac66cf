
(muster.placement.v1.ReleaseRequest.vm_id)muster.placement.v1.ReleaseRequest.job_id