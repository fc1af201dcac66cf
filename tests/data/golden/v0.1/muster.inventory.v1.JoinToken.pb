
 muster.inventory.v1.JoinToken.id–?ú·]“&muster.inventory.v1.JoinToken.group_id ÷Ò˜Òß(ÿŞï›Ç2(muster.inventory.v1.JoinToken.created_by