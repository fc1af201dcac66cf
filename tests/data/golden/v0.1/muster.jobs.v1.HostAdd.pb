
muster.jobs.v1.HostAdd.host_idmuster.jobs.v1.HostAdd.group_id