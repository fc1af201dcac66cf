ZW
)muster.jobs.v1.JobParams.host_add.host_id*muster.jobs.v1.JobParams.host_add.group_id