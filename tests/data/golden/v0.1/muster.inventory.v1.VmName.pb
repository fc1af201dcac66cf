
 muster.inventory.v1.VmName.vm_id«‚ÖßÁ