
muster.jobs.v1.JobRef.job_id