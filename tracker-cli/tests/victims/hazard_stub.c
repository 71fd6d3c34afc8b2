/* A program that is all in a library. */
int hazards_main(int argc, char **argv);
int main(int argc, char **argv) { return hazards_main(argc, argv); }
