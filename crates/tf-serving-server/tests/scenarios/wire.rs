//! A wire between a client and a server, which can be cut: what is sent over the connections that there
//! are arrives nowhere, and nobody is told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) struct Wire {
    address: SocketAddr,
    /// Of each connection, whether it is cut.
    connections: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Wire {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let made = Arc::clone(&connections);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = TcpStream::connect(server) else {
                    continue;
                };
                let cut = Arc::<AtomicBool>::default();
                made.lock().unwrap().push(Arc::clone(&cut));
                let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let also_cut = Arc::clone(&cut);
                std::thread::spawn(move || carry(near, far, &cut));
                std::thread::spawn(move || carry(ends.1, ends.0, &also_cut));
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    pub(crate) fn cut(&self) {
        let connections = self.connections.lock().unwrap();
        connections
            .iter()
            .for_each(|cut| cut.store(true, Ordering::SeqCst));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !cut.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    if !cut.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Both);
    }
}
