RÂ
(muster.jobs.v1.JobParams.vm_update.vm_id(muster.jobs.v1.JobParams.vm_update.owner.muster.jobs.v1.JobParams.vm_update.description"j
2muster.jobs.v1.JobParams.vm_update.set_tags[0].key4muster.jobs.v1.JobParams.vm_update.set_tags[0].value"j
2muster.jobs.v1.JobParams.vm_update.set_tags[1].key4muster.jobs.v1.JobParams.vm_update.set_tags[1].value*1muster.jobs.v1.JobParams.vm_update.remove_tags[0]*1muster.jobs.v1.JobParams.vm_update.remove_tags[1]