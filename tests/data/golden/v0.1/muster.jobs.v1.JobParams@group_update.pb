z¿
.muster.jobs.v1.JobParams.group_update.group_id*muster.jobs.v1.JobParams.group_update.name/muster.jobs.v1.JobParams.group_update.parent_id"1muster.jobs.v1.JobParams.group_update.description