#include <brama.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    brama_permit_t permit;
    brama_connection_t *db = NULL;
    if (strcmp(brama_version(), BRAMA_VERSION_STRING) != 0 || brama_abi_version() != BRAMA_ABI_VERSION)
        return 1;
    if (brama_register(NULL, "db", NULL, NULL, &db) != BRAMA_OK) return 2;
    if (brama_connection_acquire(db, &permit, NULL) != BRAMA_OK) return 3;
    if (brama_permit_success(permit) != BRAMA_OK) return 4;
    brama_connection_release(db);
    puts("works");
    return 0;
}
