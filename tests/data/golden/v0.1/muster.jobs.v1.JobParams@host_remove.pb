b0
,muster.jobs.v1.JobParams.host_remove.host_id