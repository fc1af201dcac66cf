rê
*muster.jobs.v1.JobParams.group_create.name/muster.jobs.v1.JobParams.group_create.parent_id1muster.jobs.v1.JobParams.group_create.description