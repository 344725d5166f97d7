//! Three other products on the same ground. Each is whole in its folder: what it says to others, HTTP, shell,
//! decisions and start. The store knows nothing of them.

// neighbours: none of them uses another
pub mod data_servers;
pub mod master_svr;
pub mod redis_sharder;
