
3muster.inventory.v1.CreateJoinTokenRequest.group_idФЫзќХХ…ЫЧ