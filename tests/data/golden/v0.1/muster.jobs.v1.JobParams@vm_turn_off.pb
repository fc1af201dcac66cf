*.
*muster.jobs.v1.JobParams.vm_turn_off.vm_id