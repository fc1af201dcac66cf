‚0
.muster.jobs.v1.JobParams.group_delete.group_id