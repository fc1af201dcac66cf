
(muster.inventory.v1.UpdateVmRecord.vm_id)muster.inventory.v1.UpdateVmRecord.job_id*muster.inventory.v1.UpdateVmRecord.host_id"(muster.inventory.v1.UpdateVmRecord.owner*.muster.inventory.v1.UpdateVmRecord.description2j
2muster.inventory.v1.UpdateVmRecord.set_tags[0].key4muster.inventory.v1.UpdateVmRecord.set_tags[0].value2j
2muster.inventory.v1.UpdateVmRecord.set_tags[1].key4muster.inventory.v1.UpdateVmRecord.set_tags[1].value:1muster.inventory.v1.UpdateVmRecord.remove_tags[0]:1muster.inventory.v1.UpdateVmRecord.remove_tags[1]@