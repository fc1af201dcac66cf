B,
(muster.jobs.v1.JobParams.vm_resume.vm_id