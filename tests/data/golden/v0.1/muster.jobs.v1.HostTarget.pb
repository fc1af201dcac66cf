
!muster.jobs.v1.HostTarget.host_id