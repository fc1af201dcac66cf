
muster.jobs.v1.HostMove.host_id muster.jobs.v1.HostMove.group_id